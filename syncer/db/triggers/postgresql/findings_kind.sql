CREATE TRIGGER findings_kind AFTER INSERT ON findings FOR EACH ROW
WHEN (NEW.kind NOT IN (
  'moved_source', 'partial', 'nameless', 'required', 'removals', 'shape', 'unit_change', 'prices_gone',
  'mass_repricing', 'implausible_price', 'reverted'))
EXECUTE FUNCTION refuse_unknown('kind');
