EXISTS (SELECT FROM holds h
                         WHERE h.released_at IS NULL AND h.user_id = c.user_id
                           AND (h.conversation_id IS NULL OR h.conversation_id = c.conversation_id))
