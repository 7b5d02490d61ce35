CREATE TRIGGER prices_kind AFTER INSERT ON prices FOR EACH ROW
WHEN (NEW.kind NOT IN ('added', 'removed', 'relisted', 'repriced', 'reread'))
EXECUTE FUNCTION refuse_unknown('kind');
