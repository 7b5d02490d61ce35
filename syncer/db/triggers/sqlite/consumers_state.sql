CREATE TRIGGER consumers_state BEFORE INSERT ON consumers
WHEN NEW.state NOT IN ('active', 'paused', 'disabled', 'cursor')
BEGIN SELECT RAISE(ABORT, 'consumers.state has an unknown value'); END;
