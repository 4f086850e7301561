"""The contract between curation and training: what a dataset folder holds, and how it is read, written and checked."""
