CREATE TRIGGER runs_kind AFTER INSERT ON runs FOR EACH ROW
WHEN (NEW.kind NOT IN ('sync', 'import', 'approve', 'revert'))
EXECUTE FUNCTION refuse_unknown('kind');
