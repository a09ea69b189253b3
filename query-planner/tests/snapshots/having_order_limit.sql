SELECT condition_concept_id, COUNT(*) AS n FROM condition_occurrence GROUP BY condition_concept_id HAVING COUNT(*) > 10 ORDER BY n DESC LIMIT 5
