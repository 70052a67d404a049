"""What a person looks at: the plan of a run, its tables, figures and outputs."""
