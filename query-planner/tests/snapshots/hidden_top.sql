SELECT condition_concept_id, COUNT(*) AS n FROM condition_occurrence GROUP BY condition_concept_id ORDER BY n DESC LIMIT 10
