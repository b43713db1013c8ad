"""What makes a host's packets and decisions visible: text trace, capture, dissection."""
