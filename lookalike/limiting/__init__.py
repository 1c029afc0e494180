"""How often somebody may ask: token buckets, in this process or shared over Redis."""
