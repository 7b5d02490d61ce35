CREATE TRIGGER runs_outcome_moved BEFORE UPDATE OF outcome ON runs
WHEN NEW.outcome NOT IN ('running', 'changed', 'unchanged', 'held', 'failed', 'skipped', 'abandoned')
BEGIN SELECT RAISE(ABORT, 'runs.outcome has an unknown value'); END;
