CREATE TRIGGER findings_state AFTER INSERT OR UPDATE OF state ON findings FOR EACH ROW
WHEN (NEW.state NOT IN ('open', 'approved', 'rejected', 'confirmed', 'withdrawn'))
EXECUTE FUNCTION refuse_unknown('state');
