"""HTML reports of a clustering: drawings, assessment, and the page that shows them."""
