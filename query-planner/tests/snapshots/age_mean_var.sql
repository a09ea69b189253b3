SELECT COUNT(*) AS n, AVG(2019 - year_of_birth) AS mean_age, VAR_SAMP(2019 - year_of_birth) AS var_age FROM person
