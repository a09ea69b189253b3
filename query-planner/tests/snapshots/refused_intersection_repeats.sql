SELECT a.person_id FROM hospital_A.person a JOIN hospital_B.person b ON a.person_id = b.person_id
