SELECT CAST((SELECT COUNT(*) FROM condition_occurrence WHERE condition_concept_id = 192671) AS DOUBLE) / (SELECT COUNT(*) FROM condition_occurrence) AS share
