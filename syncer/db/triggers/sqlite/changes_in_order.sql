-- INSERT OR REPLACE deletes without firing the delete trigger: it is stopped where it would insert.
CREATE TRIGGER changes_in_order BEFORE INSERT ON changes
WHEN NEW.id <= (SELECT coalesce(max(id), 0) FROM changes)
  OR EXISTS (SELECT 1 FROM changes WHERE run_id = NEW.run_id AND model_id = NEW.model_id)
  OR EXISTS (SELECT 1 FROM changes WHERE model_id = NEW.model_id AND effective_at >= NEW.effective_at)
BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END;
