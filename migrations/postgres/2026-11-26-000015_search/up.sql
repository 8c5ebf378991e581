-- The text and the words of a turn, for searching (docs/adr/0036-search.md). The text is what lcs_domain::search says: strings
-- named content or text at any depth, those in lists of these names, and a message that is a string itself; of sealed
-- payloads nothing. Nothing but such strings is taken out of a document: what it has besides costs next to nothing. It is
-- cut, because a vector of words has at most a megabyte, and a turn that has more must still be stored.
--
-- No index: it would make each append dearer. Who wants one runs migrations/search.sql.
CREATE FUNCTION conversation_turn_text(input jsonb, output jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT "left"(coalesce(string_agg(s.text #>> '{}', ' ' ORDER BY d.part, p.part, s.place), ''), 100000)
      FROM (VALUES (1, input), (2, output)) AS d (part, document),
           (VALUES (1, 'strict $ ? (@.type() == "string")'::jsonpath),
                   (2, 'strict $ ? (@.type() == "array")[*] ? (@.type() == "string")'),
                   (3, 'strict $.** ? (exists (@.content)).content ? (@.type() == "string")'),
                   (4, 'strict $.** ? (exists (@.content)).content ? (@.type() == "array")[*] ? (@.type() == "string")'),
                   (5, 'strict $.** ? (exists (@.text)).text ? (@.type() == "string")'),
                   (6, 'strict $.** ? (exists (@.text)).text ? (@.type() == "array")[*] ? (@.type() == "string")'))
               AS p (part, path),
           LATERAL (SELECT q.text, row_number() OVER () AS place
                      FROM (SELECT jsonb_path_query(d.document, p.path) AS text LIMIT 10000) AS q) AS s
$$;

-- Its schema is named, as the server asks it of what an index is made of.
DO $migration$
BEGIN
    EXECUTE format($function$
        CREATE FUNCTION conversation_turn_words(input jsonb, output jsonb) RETURNS tsvector
        LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
            SELECT array_to_tsvector(array_remove(
                       regexp_split_to_array(lower(%I.conversation_turn_text(input, output)), '[^[:alnum:]]+'), ''))
        $body$
    $function$, (SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.oid = 'conversations'::regclass));
END;
$migration$;
