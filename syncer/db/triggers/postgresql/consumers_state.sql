CREATE TRIGGER consumers_state AFTER INSERT OR UPDATE OF state ON consumers FOR EACH ROW
WHEN (NEW.state NOT IN ('active', 'paused', 'disabled', 'cursor'))
EXECUTE FUNCTION refuse_unknown('state');
