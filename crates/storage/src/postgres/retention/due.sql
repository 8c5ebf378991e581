       CASE WHEN c.status = 'deleted' THEN $3 = 0 OR c.updated_at < now() - $3 * interval '1 second'
            WHEN NOT $4
                 OR EXISTS (SELECT FROM restorations r
                             WHERE r.conversation_id = c.conversation_id AND r.keep_until > now()) THEN false
            WHEN o.user_id IS NOT NULL THEN
                 o.idle_days IS NOT NULL AND c.updated_at < now() - o.idle_days * interval '24 hours'
            WHEN c.status = 'archived' THEN c.updated_at < now() - $2 * interval '1 second'
            ELSE c.updated_at < now() - $1 * interval '1 second' END
