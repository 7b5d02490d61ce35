CREATE TRIGGER consumers_state_moved BEFORE UPDATE OF state ON consumers
WHEN NEW.state NOT IN ('active', 'paused', 'disabled', 'cursor')
BEGIN SELECT RAISE(ABORT, 'consumers.state has an unknown value'); END;
