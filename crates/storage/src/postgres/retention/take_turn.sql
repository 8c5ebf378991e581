-- Takes the next turn to remove conversations, and says in how many seconds it comes. A turn that is further away than
-- the longest wait was taken by a clock that has been put back since.
-- $1 seconds that the turn takes  $2 the longest wait in seconds
INSERT INTO retention_pace AS p (next_at) VALUES (clock_timestamp() + $1 * interval '1 second')
ON CONFLICT ON CONSTRAINT retention_pace_pkey DO UPDATE
   SET next_at = GREATEST(clock_timestamp(), LEAST(p.next_at, clock_timestamp() + $2 * interval '1 second'))
                 + $1 * interval '1 second'
RETURNING GREATEST(extract(epoch FROM p.next_at - clock_timestamp())::double precision - $1, 0)
