"""What compose.yaml needs beside the services: secrets made once, and the parts that are not ours."""
