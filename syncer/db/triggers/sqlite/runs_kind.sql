CREATE TRIGGER runs_kind BEFORE INSERT ON runs
WHEN NEW.kind NOT IN ('sync', 'import', 'approve', 'revert')
BEGIN SELECT RAISE(ABORT, 'runs.kind has an unknown value'); END;
