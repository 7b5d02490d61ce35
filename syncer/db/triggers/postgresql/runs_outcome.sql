CREATE TRIGGER runs_outcome AFTER INSERT OR UPDATE OF outcome ON runs FOR EACH ROW
WHEN (NEW.outcome NOT IN ('running', 'changed', 'unchanged', 'held', 'failed', 'skipped', 'abandoned'))
EXECUTE FUNCTION refuse_unknown('outcome');
