-- The words of a turn, for searching (docs/adr/0036-search.md). The text is what lcs_domain::search says: strings named content
-- or text at any depth, those in lists of these names, and a message that is a string itself; of sealed payloads nothing.
-- A word is letters and digits: without what stands between them, the parser would take -1 or a.b for one.
-- Cut, because a vector of words has at most a megabyte, and a turn that has more must still be stored.
--
-- No index: it would make each append dearer. Who wants one runs migrations/search.sql.
CREATE FUNCTION conversation_turn_words(input jsonb, output jsonb) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('simple'::regconfig, translate(
               "left"(coalesce(string_agg(texts.text #>> '{}', ' '), ''), 100000),
               '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)))
      FROM unnest(ARRAY[input, output]) AS d (document),
           LATERAL (
               SELECT d.document AS value
               UNION ALL
               SELECT o.object -> n.name
                 FROM jsonb_path_query(d.document, 'strict $.** ? (@.type() == "object")') AS o (object),
                      (VALUES ('content'), ('text')) AS n (name)
           ) AS found,
           LATERAL (
               SELECT found.value AS text WHERE jsonb_typeof(found.value) = 'string'
               UNION ALL
               SELECT e.element
                 FROM jsonb_array_elements(CASE jsonb_typeof(found.value) WHEN 'array' THEN found.value ELSE '[]' END)
                          AS e (element)
                WHERE jsonb_typeof(e.element) = 'string'
           ) AS texts
$$;
