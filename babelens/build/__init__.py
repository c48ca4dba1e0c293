"""Making a data set: from captions and tweets to gold entities, one step after the other, each a folder of files."""
