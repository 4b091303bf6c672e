"""Looking into a network with the code that trains: equations with live shapes, the plan."""
