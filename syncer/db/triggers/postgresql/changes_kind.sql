CREATE TRIGGER changes_kind AFTER INSERT ON changes FOR EACH ROW
WHEN (NEW.kind NOT IN ('added', 'removed', 'relisted', 'repriced', 'updated', 'reread'))
EXECUTE FUNCTION refuse_unknown('kind');
