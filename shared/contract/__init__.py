"""What is on the wire: subjects, streams, events, and the states they fold into. Nothing here talks to anybody."""
