SELECT DISTINCT a.person_id, b.year_of_birth FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id
