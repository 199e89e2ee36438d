"""What is true of a model: accuracies under attack, intervals and the report of them."""
