"""What leaves the house: proofs and exports."""
