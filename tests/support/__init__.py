"""What the tests of several packages share; none of it is shipped."""
