"""The ways in: each decodes a call, has it done, and encodes the answer. No door knows another."""
