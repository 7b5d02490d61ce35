CREATE TRIGGER notices_kind BEFORE INSERT ON notices
WHEN NEW.kind NOT IN (
  'failed', 'stale', 'recovered', 'held', 'settled', 'unreadable', 'readable', 'missing', 'returned', 'expiring')
BEGIN SELECT RAISE(ABORT, 'notices.kind has an unknown value'); END;
