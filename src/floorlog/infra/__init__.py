"""The deployment on AWS: parameters in, a Terraform configuration out (needs the extra `infra`).

Only `stack` and the parts that it lists import CDK Terrain; parameters, prices and estimate do not.
"""
