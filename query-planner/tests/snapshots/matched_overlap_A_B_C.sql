SELECT COUNT(DISTINCT a.person_id) AS patients FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id JOIN hospital_C.person c ON a.person_id = c.person_id
