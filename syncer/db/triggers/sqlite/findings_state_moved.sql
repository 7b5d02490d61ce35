CREATE TRIGGER findings_state_moved BEFORE UPDATE OF state ON findings
WHEN NEW.state NOT IN ('open', 'approved', 'rejected', 'confirmed', 'withdrawn')
BEGIN SELECT RAISE(ABORT, 'findings.state has an unknown value'); END;
