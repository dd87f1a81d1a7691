"""The design space of MIRAS: every kind of memory, attentional bias, retention, optimizer and feature map, one file each."""
