"""The page of the claims: tables and figures from the rows."""
