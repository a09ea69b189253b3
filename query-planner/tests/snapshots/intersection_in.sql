SELECT DISTINCT person_id FROM hospital_B.condition_occurrence
WHERE condition_concept_id = 192671 AND person_id IN (SELECT person_id FROM hospital_A.drug_exposure WHERE drug_concept_id = 1118084)
