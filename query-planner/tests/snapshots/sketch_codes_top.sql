SELECT condition_concept_id, COUNT(*) AS n, APPROX_COUNT_DISTINCT(lower(condition_source_value)) AS texts
FROM condition_occurrence GROUP BY condition_concept_id ORDER BY n DESC LIMIT 5
