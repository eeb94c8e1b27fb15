"""What surfaces are made of: the materials of a canvas's pixels, and the texture of each."""

PLAIN, ASPHALT, PAVING, FOLIAGE, GRASS, PLASTER, STONE, CLOTH, CLOUD = range(9)

REFERENCE_HEIGHT = 128  # textures are defined in pixels of a picture this high

# Per material: layers of noise as (cell width, cell height, amplitude), cells in pixels of a
# picture REFERENCE_HEIGHT high. The coarse layers are what survives a small picture.
TEXTURES = (
    ((24.0, 24.0, 2),),  # plain
    ((1.2, 0.9, 16), (20.0, 8.0, 9)),  # asphalt
    ((5.0, 3.0, 8),),  # paving
    ((2.6, 2.6, 52), (7.0, 6.0, 30)),  # foliage
    ((1.3, 5.0, 64), (14.0, 4.0, 12)),  # grass
    ((12.0, 1.6, 22), (16.0, 20.0, 6)),  # plaster
    ((4.0, 3.0, 22), (1.5, 1.5, 12)),  # stone
    ((2.2, 2.2, 20),),  # cloth
    ((50.0, 16.0, 8),),  # cloud
)
