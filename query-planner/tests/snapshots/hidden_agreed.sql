SELECT condition_concept_id, COUNT(*) AS n FROM condition_occurrence GROUP BY condition_concept_id ORDER BY condition_concept_id
