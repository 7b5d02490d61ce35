CREATE TRIGGER changes_kind BEFORE INSERT ON changes
WHEN NEW.kind NOT IN ('added', 'removed', 'relisted', 'repriced', 'updated', 'reread')
BEGIN SELECT RAISE(ABORT, 'changes.kind has an unknown value'); END;
