"""The main job on real input: six specs compiled and verified, then English text streamed through the generated Titans memory."""
