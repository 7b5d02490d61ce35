CREATE TRIGGER notices_kind AFTER INSERT ON notices FOR EACH ROW
WHEN (NEW.kind NOT IN (
  'failed', 'stale', 'recovered', 'held', 'settled', 'unreadable', 'readable', 'missing', 'returned', 'expiring'))
EXECUTE FUNCTION refuse_unknown('kind');
