from net import Wide

networks = {"wide": Wide(12)}
