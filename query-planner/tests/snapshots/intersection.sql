SELECT DISTINCT a.person_id
FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id
WHERE a.gender_concept_id = 8507 AND b.year_of_birth < 1960
