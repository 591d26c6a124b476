"""Russian SuperGLUE: nine tasks in their own files, their metrics, and the submission to their leaderboard."""
