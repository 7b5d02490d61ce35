CREATE TRIGGER findings_state BEFORE INSERT ON findings
WHEN NEW.state NOT IN ('open', 'approved', 'rejected', 'confirmed', 'withdrawn')
BEGIN SELECT RAISE(ABORT, 'findings.state has an unknown value'); END;
